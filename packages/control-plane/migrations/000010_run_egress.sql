-- Where a run went and where it was not let: JSON text (`EgressRecord`), told by its runner at its end.
ALTER TABLE runs ADD COLUMN egress text;

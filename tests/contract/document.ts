import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv, type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import * as z from 'zod';

type Schema = Readonly<Record<string, unknown>>;

const schema = z.record(z.string(), z.unknown());
const documentShape = z.object({
  paths: z.record(
    z.string(),
    z.record(
      z.string(),
      z.object({
        operationId: z.string(),
        responses: z.record(z.string(), z.object({ schema: schema.optional() })).optional(),
      }),
    ),
  ),
  components: z.object({ schemas: z.record(z.string(), schema) }),
});

const document = documentShape.parse(
  JSON.parse(readFileSync(join(import.meta.dirname, 'pulumi-cloud-openapi.json'), 'utf8')),
);

/**
 * Where the document is wrong about what is on the wire. Pulumi CLI sdk/go/common/apitype/deployments.go (SecretValue):
 * a plain value is a string, a secret is answered as `{"ciphertext": <base64>}`; the document asks for a list of strings,
 * and for the secret in clear.
 */
const amendments: Readonly<Record<string, Schema>> = {
  SecretValue: {
    oneOf: [
      { type: 'string' },
      {
        type: 'object',
        properties: { ciphertext: { type: 'string', pattern: '^[A-Za-z0-9+/]+={0,2}$' } },
        required: ['ciphertext'],
        additionalProperties: false,
      },
    ],
  },
};

const ajv = new Ajv({ strict: false, allErrors: true });
addFormats.default(ajv);
for (const name of Object.keys(document.components.schemas))
  ajv.addSchema(closed({ $ref: name }, true), name);
const validators = new Map<string, ValidateFunction>();

/** What is wrong with an answer of an operation, by the document; undefined when it is right. */
export function objectionTo(operation: string, status: number, answer: unknown): string | undefined {
  const [method = '', path = ''] = operation.split(' ');
  const responses = document.paths[path]?.[method.toLowerCase()]?.responses;
  if (!responses) return `the document does not know ${operation}`;
  const response = responses[String(status)];
  if (!response) return `the document does not know the status ${status} of ${operation}`;
  if (!response.schema) return undefined;
  const key = `${operation} ${status}`;
  const validate = validators.get(key) ?? ajv.compile(closed(response.schema));
  validators.set(key, validate);
  return validate(answer) ? undefined : ajv.errorsText(validate.errors);
}

/**
 * A schema that refuses properties it does not know. Inherited ones (`allOf`) are drawn in first, since each part by itself
 * would refuse those of the others. A reference stays one, but for the top of a named schema (`expand`).
 */
function closed(given: Schema, expand = false): Schema {
  const name = referenceOf(given);
  if (name && !expand) return { $ref: name };
  if (name && amendments[name]) return amendments[name];
  const own = name ? named(name) : given;
  const mapping = mappingOf(own);
  if (mapping) return { anyOf: mapping.map((subtype) => ({ $ref: subtype })) };
  const { properties, required, rest } = parts(own);
  if (Object.keys(properties).length === 0) return closedItems(rest);
  const closedProperties = Object.fromEntries(
    Object.entries(properties).map(([member, value]) => [member, closed(value)]),
  );
  return { ...rest, type: 'object', properties: closedProperties, required, additionalProperties: false };
}

function closedItems(rest: Schema): Schema {
  const { items, additionalProperties } = rest;
  return {
    ...rest,
    ...(isSchema(items) && { items: closed(items) }),
    ...(isSchema(additionalProperties) && { additionalProperties: closed(additionalProperties) }),
  };
}

interface Parts {
  readonly properties: Record<string, Schema>;
  readonly required: string[];
  readonly rest: Schema;
}

function parts({ allOf, properties, required, discriminator: _, ...rest }: Schema): Parts {
  const inherited = z
    .array(schema)
    .default([])
    .parse(allOf)
    .map((part) => parts(named(referenceOf(part)) ?? part));
  const own = z.record(z.string(), schema).default({}).parse(properties);
  return {
    properties: Object.assign({}, ...inherited.map((part) => part.properties), own),
    required: [
      ...inherited.flatMap((part) => part.required),
      ...z.array(z.string()).default([]).parse(required),
    ],
    rest,
  };
}

function mappingOf({ discriminator }: Schema): string[] | undefined {
  const parsed = z.object({ mapping: z.record(z.string(), z.string()) }).safeParse(discriminator);
  return parsed.success
    ? Object.values(parsed.data.mapping).map((reference) => reference.replace(/^.*\//, ''))
    : undefined;
}

function referenceOf({ $ref }: Schema): string | undefined {
  return typeof $ref === 'string' ? $ref.replace(/^.*\//, '') : undefined;
}

function named(name: string): Schema;
function named(name: string | undefined): Schema | undefined;
function named(name: string | undefined): Schema | undefined {
  if (name === undefined) return undefined;
  const found = document.components.schemas[name];
  if (!found) throw new Error(`The document has no schema ${name}.`);
  return found;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null;
}

const ms = require('ms');
const pulumi = require('@pulumi/pulumi');

/** A schedule: how many milliseconds lie between two times. */
class Schedule extends pulumi.dynamic.Resource {
  constructor(name, properties, options) {
    const provider = {
      async create({ milliseconds }) {
        return { id: `every-${milliseconds}`, outs: { milliseconds } };
      },
      async update(_id, _before, { milliseconds }) {
        return { outs: { milliseconds } };
      },
    };
    super(provider, name, properties, options);
  }
}

const every = new pulumi.Config().require('every');
const schedule = new Schedule('schedule', { milliseconds: ms(every) });

exports.milliseconds = schedule.milliseconds;
exports.inWords = schedule.milliseconds.apply((milliseconds) => ms(milliseconds, { long: true }));

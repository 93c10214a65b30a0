const pulumi = require('@pulumi/pulumi');

/** A resource whose creation takes as many seconds as it is told to. */
class SlowResource extends pulumi.dynamic.Resource {
  constructor(name, properties, options) {
    const provider = {
      async create({ seconds }) {
        await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
        return { id: `slow-${seconds}`, outs: { seconds } };
      },
    };
    super(provider, name, properties, options);
  }
}

const seconds = new pulumi.Config().requireNumber('seconds');
const first = new SlowResource('first', { seconds });
// Waits for the first: when a run is cancelled, the CLI lets `first` finish and does not begin `second`.
const second = new SlowResource('second', { seconds }, { dependsOn: first });

exports.seconds = pulumi.all([first.seconds, second.seconds]).apply(([one, two]) => one + two);

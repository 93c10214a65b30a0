const pulumi = require('@pulumi/pulumi');

/** A network with an address range, and a token without which nothing may join it. */
class Network extends pulumi.dynamic.Resource {
  constructor(name, properties, options) {
    const provider = {
      async create({ range }) {
        const { randomBytes } = require('node:crypto');
        return { id: `network-${range}`, outs: { range, joinToken: randomBytes(16).toString('hex') } };
      },
    };
    super(
      provider,
      name,
      { joinToken: undefined, ...properties },
      { ...options, additionalSecretOutputs: ['joinToken'] },
    );
  }
}

const network = new Network('network', { range: '10.20.0.0/16' });

exports.range = network.range;
exports.joinToken = network.joinToken;

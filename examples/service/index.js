const pulumi = require('@pulumi/pulumi');

/** A service that has joined a network. */
class Service extends pulumi.dynamic.Resource {
  constructor(name, properties, options) {
    const provider = {
      async create({ range, joinToken }) {
        if (!joinToken) throw new Error(`the network ${range} lets nobody in without a token`);
        const address = range.replace(/\.0\/\d+$/, '.10');
        return { id: `service-${address}`, outs: { range, joinToken, address } };
      },
    };
    super(provider, name, { address: undefined, ...properties }, options);
  }
}

// The stack of the same name in the project "network"; its secret output stays a secret here.
const network = new pulumi.StackReference(`${pulumi.getOrganization()}/network/${pulumi.getStack()}`);
const service = new Service('service', {
  range: network.requireOutput('range'),
  joinToken: network.requireOutput('joinToken'),
});

exports.address = service.address;
exports.joinToken = network.requireOutput('joinToken');

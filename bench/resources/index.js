const pulumi = require('@pulumi/pulumi');

const provider = {
  async create(inputs) {
    return { id: `cell-${inputs.number}`, outs: inputs };
  },
};

class Cell extends pulumi.dynamic.Resource {
  constructor(name, number) {
    super(provider, name, { number });
  }
}

for (let number = 0; number < Number(process.env.RESOURCE_COUNT); number += 1)
  new Cell(`cell-${number}`, number);

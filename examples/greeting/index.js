const pulumi = require('@pulumi/pulumi');

/** A sentence: made when it is first asked for, replaced when its words change. */
class Greeting extends pulumi.dynamic.Resource {
  constructor(name, properties, options) {
    const provider = {
      async create({ recipient }) {
        const text = `Hello, ${recipient}!`;
        return { id: `greeting-${text.length}`, outs: { recipient, text } };
      },
      async diff(_id, before, after) {
        return { changes: before.recipient !== after.recipient, replaces: ['recipient'] };
      },
    };
    super(provider, name, { text: undefined, ...properties }, options);
  }
}

/** A letter: a greeting with a signature that nobody else may read. */
class Letter extends pulumi.dynamic.Resource {
  constructor(name, properties, options) {
    const provider = {
      async create({ text, signature }) {
        return { id: 'letter', outs: { text, signature, letter: `${text}\n-- ${signature}` } };
      },
      async update(_id, _before, { text, signature }) {
        return { outs: { text, signature, letter: `${text}\n-- ${signature}` } };
      },
    };
    // What is made of a secret is a secret.
    super(
      provider,
      name,
      { letter: undefined, ...properties },
      { ...options, additionalSecretOutputs: ['letter'] },
    );
  }
}

const config = new pulumi.Config();
const greeting = new Greeting('greeting', { recipient: config.require('name') });
const signature = config.getSecret('signature') ?? pulumi.secret('anonymous');
const letter = new Letter('letter', { text: greeting.text, signature });

exports.greeting = greeting.text;
exports.letter = letter.letter;

import { status } from '@grpc/grpc-js';

/** A unary method from a function of the request. What it throws becomes the message that the user reads. */
export function answerWith(handle) {
  return (call, callback) => {
    Promise.resolve()
      .then(() => handle(call.request))
      .then(
        (response) => callback(null, response),
        (error) => callback({ code: status.UNKNOWN, details: error.message }),
      );
  };
}

/** A method with a stream of responses. `handle` gets the request, `write` and a signal for a client that left. */
export function streamFrom(handle) {
  return (call) => {
    const abort = new AbortController();
    call.on('cancelled', () => abort.abort());
    Promise.resolve()
      .then(() => handle(call.request, (response) => call.write(response), abort.signal))
      .then(
        () => call.end(),
        // Not `destroy`: the status goes out when the stream ends in order.
        (error) => call.emit('error', { code: status.UNKNOWN, details: error.message }),
      );
  };
}

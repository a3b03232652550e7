import { setMaxListeners } from "node:events";

/** Return what `start` promises. Reject at once if the signal is aborted, and do not start if it is already. */
export async function unlessAborted<T>(start: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) {
    return start();
  }
  signal.throwIfAborted();
  // Any number of calls may share a signal. From the eleventh listener on Node would warn of a leak.
  setMaxListeners(0, signal);
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- fetch rejects with it as it is
      reject(signal.reason);
    };
    signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([aborted, start()]);
  } finally {
    if (stop) {
      signal.removeEventListener("abort", stop);
    }
  }
}

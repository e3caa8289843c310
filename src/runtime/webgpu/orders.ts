// Question: in which order does the GPU get what it is asked for?
//
// Orders are given in the order of the calls. One that must wait, for kernels that are being compiled or for WebGPU to
// say whether there was memory, holds up those after it, so each finds everything as the ones before it have left it.
// What is encoded in one turn of the event loop is submitted together.

/** An order; one that returns a promise, which must not reject, holds up those after it. */
export type Order = () => void | Promise<void>;

export interface Orders {
  /** Whether an order given now is done at once. */
  readonly idle: boolean;
  /** Do it in its turn. */
  give(order: Order): void;
  /** Let no further order have its turn before this is settled; it must not reject. */
  hold(until: Promise<void>): void;
  /** In an order: what it has held up. */
  held(): Promise<unknown>;
  /** In an order: where it writes what the GPU shall do. */
  encoder(): GPUCommandEncoder;
  /** Submit what has been encoded. */
  submit(): void;
  /** Do all that waits, now. */
  drain(): void;
}

export interface OrderActions {
  /** What is encoded last, before a submission. */
  beforeSubmit(): void;
  afterSubmit(): void;
}

export function createOrders(device: GPUDevice, { beforeSubmit, afterSubmit }: OrderActions): Orders {
  const line: Order[] = [];
  const holds: Promise<void>[] = [];
  /** Whether an order or a hold is being waited for, and whether an order has its turn. */
  let [waiting, inTurn] = [false, false];
  let encoder: GPUCommandEncoder | undefined;
  let scheduled = false;
  const waitFor = (until: Promise<unknown>): void => {
    waiting = true;
    void until.then(() => {
      waiting = false;
      proceed();
    });
  };
  /** Give the next order its turn; false where it cannot have it yet, or there is none. */
  const turn = (): boolean => {
    if (waiting || inTurn) return false;
    if (holds.length > 0) {
      waitFor(Promise.all(holds.splice(0)));
      return false;
    }
    const order = line.shift();
    if (!order) return false;
    inTurn = true;
    try {
      const until = order();
      if (until) waitFor(until);
    } finally {
      inTurn = false;
    }
    return true;
  };
  const proceed = (): void => {
    while (turn());
  };
  const submit = (): void => {
    beforeSubmit();
    if (!encoder) return;
    const commands = encoder.finish();
    encoder = undefined;
    device.queue.submit([commands]);
    afterSubmit();
  };
  const submitScheduled = (): void => {
    scheduled = false;
    submit();
  };
  return {
    get idle() {
      return !waiting && !inTurn && holds.length === 0 && line.length === 0;
    },
    give(order) {
      line.push(order);
      proceed();
    },
    hold(until) {
      holds.push(until);
    },
    held: () => Promise.all(holds.splice(0)),
    encoder() {
      if (!scheduled) {
        scheduled = true;
        queueMicrotask(submitScheduled);
      }
      return (encoder ??= device.createCommandEncoder());
    },
    submit,
    drain() {
      for (const order of line.splice(0)) void order();
    },
  };
}

// Question: which addresses can only programs on this machine reach?

const LOOPBACK = new Set(["localhost", "127.0.0.1", "::1"]);

/** Whether only programs on this machine can reach that address. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.has(host) || /^127(\.\d{1,3}){3}$/.test(host);
}

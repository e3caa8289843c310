import { listRuntimes } from "birkhoff/browser";

// In a page: openRuntime() takes the first that is available.
for (const { name, description, available, remedy } of await listRuntimes())
  console.log(name, description, available ? "" : (remedy ?? ""));

import { exportCsv, exportTensorBoard, prometheusText } from "birkhoff/interop";
import { readRunData } from "birkhoff/runs";

console.log(exportCsv("runs/my-nano", "csv")); // the files it wrote
console.log(exportTensorBoard("runs/my-nano", "tensorboard"));
console.log(prometheusText([readRunData("runs/my-nano")]));

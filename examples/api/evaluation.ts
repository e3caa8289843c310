import { openRuntime } from "birkhoff";
import { evaluate, findTasks, openDataFolder, openRunModel, planTask, writeResults } from "birkhoff/evaluation";

const plans = findTasks(["piqa"]).map((task) =>
  planTask(task, openDataFolder("benchmarks", task.family), { limit: 3 }),
);
const run = openRunModel("runs/my-nano", console.warn);
const runtime = await openRuntime();
const found = await evaluate(run.open(runtime), plans); // answers.jsonl keeps them: { store: openAnswers(…) }
runtime.close();
console.log(found!.results["piqa"]!["acc,none"], found!.samples("piqa")[0]!.target);
writeResults("results", found!, { model_name: "my-nano", config: {}, date: 0, total_evaluation_time_seconds: 1 });

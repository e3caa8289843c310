// Question: which objects run a job on Kubernetes?
//
// A training is an MPIJob of kubeflow's mpi-operator (v2beta1): its launcher runs birkhoff launch, which finds the
// workers in the operator's hostfile, watches them, and starts the training again. A sweep needs no MPI: it is an
// indexed Job. All pods share one volume, which has the texts, the tokens and the runs.
//
// Source: https://github.com/kubeflow/mpi-operator (manifests/base/kubeflow.org_mpijobs.yaml)

import { didYouMean } from "../basics/names.ts";
import { shellWord } from "../basics/show.ts";
import { type ClusterJob, withOption } from "./launch-cluster.ts";
import type { MpiName } from "./launch-line.ts";

/** What may be asked for. */
const known = {
  image: "an image with Node, birkhoff, koffi, MPI and sshd",
  claim: "the PersistentVolumeClaim with the texts and runs, which all pods can write to",
  mount: "where it is mounted, and commands run (default: /data)",
  namespace: "of the job",
  cpu: "cores of each process, such as 4 or 500m (default: its --threads, else 1)",
  memory: "of each process, such as 8Gi",
  gpu: "GPUs of each process",
} as const;
type Wish = keyof typeof known;

/** Where the operator writes the workers' names. */
const HOSTFILE = "/etc/mpi/hostfile";
const HOME_SSH = "/root/.ssh";

const implementations: Readonly<Record<MpiName, string>> = { openmpi: "OpenMPI", mpich: "MPICH" };

/** @param given KEY=VALUE of the command line */
export function kubernetesObject(job: ClusterJob, given: Readonly<Record<string, string>>): object {
  const wishes = expectKnown(given);
  const { name, processes, mpi, restarts, words, points } = job;
  const mount = wishes.mount ?? "/data";
  const cpu = wishes.cpu ?? String(job.threads ?? 1);
  const limits = {
    cpu,
    ...(wishes.memory === undefined ? {} : { memory: wishes.memory }),
    ...(wishes.gpu === undefined ? {} : { "nvidia.com/gpu": wishes.gpu }),
  };
  const command = withOption(withOption(words, "--threads", threadsOf(cpu)), "--cache", `${mount}/cache`);
  const pod = (what: string, line: readonly string[], more: object = {}): object => ({
    containers: [
      {
        name: what,
        image: wishes.image,
        command: line,
        workingDir: mount,
        volumeMounts: [{ name: "work", mountPath: mount }],
        ...more,
      },
    ],
    volumes: [{ name: "work", persistentVolumeClaim: { claimName: wishes.claim } }],
  });
  const metadata = { name, ...(wishes.namespace === undefined ? {} : { namespace: wishes.namespace }) };
  if (points !== undefined) {
    const line = ["birkhoff", ...command].map(shellWord).join(" ");
    const shell = ["sh", "-c", `exec ${line} --point "$((JOB_COMPLETION_INDEX + 1))"`];
    return {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata,
      spec: {
        completionMode: "Indexed",
        completions: points,
        parallelism: Math.min(processes, points),
        backoffLimit: restarts * points,
        template: { spec: { restartPolicy: "Never", ...pod("run", shell, { resources: { limits } }) } },
      },
    };
  }
  const launch = [
    "launch",
    "-n",
    String(processes),
    "--mpi",
    mpi,
    "--hostfile",
    HOSTFILE,
    "--restarts",
    String(restarts),
  ];
  return {
    apiVersion: "kubeflow.org/v2beta1",
    kind: "MPIJob",
    metadata,
    spec: {
      slotsPerWorker: 1,
      runPolicy: { cleanPodPolicy: "Running", backoffLimit: restarts },
      sshAuthMountPath: HOME_SSH,
      mpiImplementation: implementations[mpi],
      mpiReplicaSpecs: {
        Launcher: {
          replicas: 1,
          restartPolicy: "OnFailure",
          template: { spec: pod("launcher", ["birkhoff", ...launch, "--", ...command]) },
        },
        Worker: {
          replicas: processes,
          restartPolicy: "Never",
          template: { spec: pod("worker", ["/usr/sbin/sshd", "-De"], { resources: { limits } }) },
        },
      },
    },
  };
}

/** A thread for each whole core, and at least one. */
function threadsOf(cpu: string): string {
  const [, number, milli] = /^(\d+(?:\.\d+)?)(m?)$/.exec(cpu) ?? [];
  if (number === undefined)
    throw new Error(`--kubernetes: cpu=${cpu} is given; it must be a number of cores, such as 4 or 500m.`);
  return String(Math.max(1, Math.floor(Number(number) / (milli === "m" ? 1000 : 1))));
}

function expectKnown(given: Readonly<Record<string, string>>): Readonly<Partial<Record<Wish, string>>> {
  const names = Object.keys(known);
  for (const key of Object.keys(given))
    if (!names.includes(key))
      throw new Error(`--kubernetes: ${key} is given; it must be ${names.join(", ")}.${didYouMean(key, names)}`);
  for (const key of ["image", "claim"] as const)
    if (given[key] === undefined) throw new Error(`--kubernetes: ${key} is missing, ${known[key]}. Give ${key}=NAME.`);
  return given;
}

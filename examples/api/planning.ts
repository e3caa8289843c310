import { hardwareProfiles, plannedModel, planTraining } from "birkhoff/planning";

const plan = planTraining(plannedModel("paper-27b"), { hardware: hardwareProfiles.h800, gpus: 256 });
console.log(plan.parameters.total, plan.extra.fused.fraction); // parameters, and the extra time of mHC with fused kernels

// Tests run one at a time: each one runs models, and in parallel they would only compete for the cores.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

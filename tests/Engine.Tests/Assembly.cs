// the tests count live tensors, so two of them must not run at the same time
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

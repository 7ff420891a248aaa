// live tensors are counted: two tests at once would count each other's
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

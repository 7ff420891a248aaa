using Xunit;

// live native tensors are counted for the whole process
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

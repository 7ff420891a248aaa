using Ndif.Language.Tests;

[assembly: AssemblyFixture(typeof(ServiceFixture))]

// live tensors are counted: two tests at once would count each other's
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

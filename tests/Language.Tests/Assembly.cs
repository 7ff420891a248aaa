[assembly: AssemblyFixture(typeof(ServiceFixture))]

// The tests count live tensors, so two tests at a time would count each other's.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

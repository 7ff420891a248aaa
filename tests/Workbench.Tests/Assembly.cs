[assembly: AssemblyFixture(typeof(WorkbenchService))]

// All tests share one service, which some of them stop.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

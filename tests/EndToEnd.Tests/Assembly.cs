[assembly: AssemblyFixture(typeof(TestCluster))]

// All tests share one cluster, and some of them kill its processes.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

[assembly: AssemblyFixture(typeof(TestCluster))]

// All tests share one cluster, and some of them kill its processes.
[assembly: CollectionBehavior(DisableTestParallelization = true)]

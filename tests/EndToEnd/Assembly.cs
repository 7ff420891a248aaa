using Ndif.EndToEnd;

[assembly: AssemblyFixture(typeof(TestCluster))]

// one cluster, whose processes some tests kill
[assembly: CollectionBehavior(DisableTestParallelization = true)]

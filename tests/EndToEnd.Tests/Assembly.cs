using Ndif.EndToEnd.Tests;

[assembly: AssemblyFixture(typeof(TestCluster))]

// one cluster, whose processes some tests kill
[assembly: CollectionBehavior(DisableTestParallelization = true)]

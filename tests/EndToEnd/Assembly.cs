using Ndif.EndToEnd;

[assembly: AssemblyFixture(typeof(Cluster))]

// one cluster, whose processes some tests kill
[assembly: CollectionBehavior(DisableTestParallelization = true)]

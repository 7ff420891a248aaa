using Ndif.EndToEnd.Tests;

[assembly: AssemblyFixture(typeof(TestCluster))]

// one cluster, whose processes some tests kill
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

using Ndif.Language.Tests;

[assembly: AssemblyFixture(typeof(ServiceFixture))]

// live tensors are counted: two tests at once would count each other's
[assembly: CollectionBehavior(DisableTestParallelization = true)]

using Xunit;

// live native tensors are counted for the whole process
[assembly: CollectionBehavior(DisableTestParallelization = true)]

// the tests count live tensors, so two of them must not run at the same time
[assembly: CollectionBehavior(DisableTestParallelization = true)]

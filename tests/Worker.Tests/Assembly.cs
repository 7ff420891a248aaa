// Tests run one at a time: each one runs models, and in parallel they would only compete for the cores.
[assembly: CollectionBehavior(DisableTestParallelization = true)]

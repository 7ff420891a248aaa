// A program of a page writes to the console of this process, and the test reads it there.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

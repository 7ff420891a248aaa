// each test has workers whose models compute; side by side on few cores they would only wait for each other
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

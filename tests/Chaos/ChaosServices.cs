namespace Ndif.Chaos;

/// <summary>The processes of the service, which can be started with other environment variables for a time.</summary>
internal sealed class ChaosServices(string folder) : ServiceCluster(folder)
{
    private IReadOnlyList<(string Name, string Value)> _environment = [];

    protected override IReadOnlyList<(string Name, string Value)> ServiceEnvironment => _environment;

    /// <summary>Blobs are deleted soon after their last use, so that the disk of a long run stays small.</summary>
    protected override IReadOnlyList<string> ServiceArguments => ["--set", "Blobs:TimeToLive=00:02:30"];

    /// <summary>Sets the variables for the processes that start until the result is disposed.</summary>
    public IDisposable SetEnvironment(params (string Name, string Value)[] environment)
    {
        _environment = environment;
        return new Reset(this);
    }

    private sealed class Reset(ChaosServices services) : IDisposable
    {
        public void Dispose() => services._environment = [];
    }
}

namespace Ndif.Engine.Scheduling;

/// <summary>
/// The order in which owners are served: the next is the one that has had the least service for its weight. An owner that comes back has
/// no claim to the service that it did not use.
/// </summary>
/// <remarks>Start-time fair queueing; service is counted in tokens of passes, or in seconds of statements.</remarks>
internal sealed class OwnerShares
{
    private readonly Dictionary<string, (double Service, int Jobs)> _owners = [];

    public void AddJob(string owner)
    {
        var (service, jobs) = _owners.GetValueOrDefault(owner);
        if (jobs == 0)
        {
            double least = LeastActive();
            service = Math.Max(service, least);
            foreach (var (idle, state) in _owners.ToList())
                if (state.Jobs == 0 && state.Service <= least) _owners.Remove(idle);
        }
        _owners[owner] = (service, jobs + 1);
    }

    public void RemoveJob(string owner)
    {
        var (service, jobs) = _owners[owner];
        _owners[owner] = (service, jobs - 1);
    }

    /// <summary>Counts what an owner got.</summary>
    public void Charge(string owner, double weight, double amount)
    {
        if (_owners.TryGetValue(owner, out var state)) _owners[owner] = (state.Service + amount / weight, state.Jobs);
    }

    /// <summary>The service of an owner for its weight.</summary>
    public double ServiceOf(string owner) => _owners[owner].Service;

    private double LeastActive() => _owners.Values.Where(owner => owner.Jobs > 0).Select(owner => owner.Service).DefaultIfEmpty(0).Min();
}

namespace Ndif.Queue;

/// <summary>The limits on one owner's use of the queue, and on the queue as a whole.</summary>
/// <param name="InFlight">The owner's jobs that wait or run.</param>
/// <param name="PerMinute">The owner's jobs accepted within any minute.</param>
/// <param name="Waiting">The owner's jobs that wait for their first lease.</param>
/// <param name="Depth">The waiting jobs of all owners and models.</param>
public sealed record Quota(int InFlight, int PerMinute, int Waiting, int Depth);

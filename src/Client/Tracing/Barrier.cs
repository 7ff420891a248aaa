using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>
/// A point at which invokes wait for each other. A value of one invoke that another one uses orders them already; a barrier states the
/// order, and the run checks it.
/// </summary>
public sealed class Barrier
{
    private readonly Recorder _recorder;
    private readonly uint _id, _participants;

    internal Barrier(Recorder recorder, int participants)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(participants, 1);
        (_recorder, _id, _participants) = (recorder, recorder.NextBarrier(), (uint)participants);
    }

    /// <summary>Waits here until all participating invokes have reached the barrier.</summary>
    public void Wait() => _recorder.Add(new Node { Barrier = new Protocol.Messages.Barrier { Id = _id, Participants = _participants } });
}

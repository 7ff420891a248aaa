namespace Ndif.Engine.Scheduling;

/// <summary>
/// A pass that jobs shared, and that has failed in the model because of one of them. Its suspects run alone:
/// 1. One that comes past the pass is cleared.
/// 2. One that fails in the model again is at fault.
/// 3. One that ends otherwise, for example by a cancellation, is at fault if none of the others is, and if its trace may edit the model.
///    If such jobs are of several owners, nobody knows which.
/// The owner of a job at fault has kept the others waiting for the time that they have lost.
/// </summary>
/// <param name="delays">The times for which owners have kept others waiting.</param>
internal sealed class FailedPass(OwnerDelays delays)
{
    private readonly Dictionary<string, TimeSpan> _lost = [];
    private readonly HashSet<string> _ownersOfEnded = [];
    private int _suspectCount;
    private bool _isFound;

    /// <summary>Adds a job of the pass.</summary>
    /// <param name="lost">The time of what it computes again.</param>
    public void AddSuspect(string owner, TimeSpan lost)
    {
        _suspectCount++;
        _lost[owner] = _lost.GetValueOrDefault(owner) + lost;
    }

    /// <summary>1. A suspect has come past the pass.</summary>
    public void OnCleared()
    {
        _suspectCount--;
        ChargeOwnerOfEnded();
    }

    /// <summary>2. A suspect has failed in the model, alone.</summary>
    public void OnFoundAtFault(string owner)
    {
        _suspectCount--;
        _isFound = true;
        Charge(owner);
    }

    /// <summary>3. A suspect that may be at fault has ended otherwise.</summary>
    public void OnEnded(string owner)
    {
        _suspectCount--;
        _ownersOfEnded.Add(owner);
        ChargeOwnerOfEnded();
    }

    private void ChargeOwnerOfEnded()
    {
        if (_suspectCount == 0 && !_isFound && _ownersOfEnded.Count == 1) Charge(_ownersOfEnded.Single());
    }

    private void Charge(string owner)
    {
        foreach ((string other, TimeSpan lost) in _lost)
            if (other != owner) delays.Add(owner, lost);
    }
}

namespace Ndif.Server.OpenAi;

/// <summary>
/// What comes of a choice once in each step, until it is delivered. An attempt of the job that begins again repeats the steps that were
/// delivered; these are dropped.
/// </summary>
internal sealed class PendingSteps<T>
{
    private readonly Queue<T> _values = [];
    private int _repeated;

    public bool IsEmpty => _values.Count == 0;

    public void Add(T value)
    {
        if (_repeated > 0) _repeated--;
        else _values.Enqueue(value);
    }

    public T Take() => _values.Dequeue();

    /// <summary>Begins again at the first step.</summary>
    /// <param name="delivered">The number of steps that were delivered.</param>
    public void Restart(int delivered)
    {
        _values.Clear();
        _repeated = delivered;
    }
}

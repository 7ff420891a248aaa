namespace Ndif.Engine.Running;

/// <summary>
/// The memory that the values of all jobs of a worker may use together. A job may hold as much as is free: one alone gets half of the
/// memory, each of n jobs that take all they can gets 1 / (n + 1) of it, and as much is always left for a job that comes later.
/// </summary>
/// <remarks>Dynamic queue length thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 1998.</remarks>
/// <param name="total">In bytes.</param>
internal sealed class SharedJobMemory(long total)
{
    private long _used;

    public long Total => total;

    public long Used => Interlocked.Read(ref _used);

    /// <summary>The bytes that one job may hold while no other holds any.</summary>
    public long MostAlone => total / 2;

    /// <summary>Counts bytes that a job takes, or with a negative number frees.</summary>
    public void Add(long bytes) => Interlocked.Add(ref _used, bytes);

    /// <summary>The bytes that a job may still take.</summary>
    /// <param name="held">The bytes that it holds.</param>
    public double FreeFor(long held) => ((double)total - Used - held) / 2;
}

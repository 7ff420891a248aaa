using Ndif.Engine.Compiling;
using Ndif.Engine.Running;

namespace Ndif.Engine.Interleaving;

/// <summary>The state of a loop that an interpreter runs: it gives the next region and sets the loop variable.</summary>
internal abstract class Loop(Statement statement)
{
    /// <summary>The statement that completes when the loop ends.</summary>
    public Statement Statement { get; } = statement;

    /// <summary>Sets the loop variable and returns the region of the next iteration; null at the end.</summary>
    public abstract uint? NextRegion(JobRun job);
}

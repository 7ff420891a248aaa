using Ndif.Engine.Compiling;

namespace Ndif.Engine.Interleaving;

/// <summary>A loop over the calls of modules.</summary>
internal abstract class StepLoop(Statement statement) : Loop(statement)
{
    /// <summary>The call that this iteration accesses.</summary>
    public abstract int Step { get; }

    /// <summary>The steps that the program requests, for a warning; null if any number of steps is right.</summary>
    public abstract string? RequestedSteps { get; }

    /// <summary>The region and the call of the next iteration; null at the last one.</summary>
    public abstract (uint Region, int Step)? Next { get; }

    /// <summary>Whether a module was accessed in this iteration.</summary>
    public bool HasReachedModule { get; set; }
}

namespace Ndif.Engine.Interleaving;

/// <summary>What an interpreter waits for.</summary>
internal enum WaitReason
{
    /// <summary>Nothing: it can run.</summary>
    None,

    /// <summary>The forward pass to reach a hook point.</summary>
    HookPoint,

    /// <summary>A value that another invoke computes.</summary>
    Value,

    /// <summary>Other invokes at a barrier.</summary>
    Barrier,

    /// <summary>A forward pass, for a trace of a session.</summary>
    ForwardPass,

    /// <summary>The end of the forward pass, for its result.</summary>
    Result,

    /// <summary>The backward pass to reach a value.</summary>
    Gradient,

    /// <summary>A module of the program that another invoke is calling.</summary>
    Module,

    /// <summary>Calls of the same module of the model by other invokes, so that one product computes them all.</summary>
    ModuleCall,

    /// <summary>Nothing: all statements have run.</summary>
    Done,
}

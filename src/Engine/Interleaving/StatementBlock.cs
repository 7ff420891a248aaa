namespace Ndif.Engine.Interleaving;

/// <summary>Statements that run inside another statement, which continues after them.</summary>
internal class StatementBlock
{
    /// <summary>Whether all statements have run.</summary>
    public bool IsComplete { get; set; }
}

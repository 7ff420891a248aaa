namespace Ndif.Engine.Interleaving;

/// <summary>Statements that run within another one, which goes on when they have.</summary>
internal class StatementBlock
{
    /// <summary>True when all have run.</summary>
    public bool IsComplete { get; set; }
}

namespace Ndif.Workbench.Sessions;

/// <summary>What a tab has selected for all of its pages.</summary>
public sealed class Selection
{
    private string _model = "";

    /// <summary>The name of the model; empty before one is known.</summary>
    public string Model { get => _model; set => _model = value.Trim(); }
}

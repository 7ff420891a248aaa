namespace Ndif.Workbench.Sessions;

/// <summary>An input that a page refuses when it knows the model's tokens.</summary>
internal sealed class InputException(Problem problem) : Exception(problem.Text)
{
    /// <summary>What is wrong with it.</summary>
    public Problem Problem { get; } = problem;
}

namespace Ndif.Language.Tests.Support;

/// <summary>
/// The cases of nnsight's tests that a test ports: "test_lm/TestSkip.test_basic_skip", or "v0.4/test_tiny/test_tiny" for version 0.4.
/// docs/nnsight-tests.md lists the same pairs by case.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class PortedFromAttribute(params string[] cases) : Attribute
{
    public IReadOnlyList<string> Cases { get; } = cases;
}

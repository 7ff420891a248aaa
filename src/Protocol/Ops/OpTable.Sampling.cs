namespace Ndif.Protocol.Ops;

// Random numbers. With a seed an operation gives PyTorch's numbers after manual_seed(seed); without, the run's own generator.
// One row an operation, in PyTorch's own schema language (native_functions.yaml); see OpSchema.Parse for the added types.
public static partial class OpTable
{
    private const string Sampling = """
        rand(int[] size, *, ScalarType? dtype=None, Device? device=None, int? seed=None) -> Tensor
        randn(int[] size, *, ScalarType? dtype=None, Device? device=None, int? seed=None) -> Tensor
        randint(int low, int high, int[] size, *, ScalarType? dtype=None, Device? device=None, int? seed=None) -> Tensor
        randperm(int n, *, ScalarType? dtype=None, Device? device=None, int? seed=None) -> Tensor
        rand_like(Tensor self, *, ScalarType? dtype=None, int? seed=None) -> Tensor
        randn_like(Tensor self, *, ScalarType? dtype=None, int? seed=None) -> Tensor
        randint_like(Tensor self, int low, int high, *, ScalarType? dtype=None, int? seed=None) -> Tensor
        normal(Operand mean, Operand std, int[]? size=None, *, int? seed=None) -> Tensor
        # without p the elements are the probabilities
        bernoulli(Tensor self, float? p=None, *, int? seed=None) -> Tensor
        multinomial(Tensor self, int num_samples, bool replacement=False, *, int? seed=None) -> Tensor
        poisson(Tensor self, *, int? seed=None) -> Tensor
        normal_(Tensor self, float mean=0.0, float std=1.0, *, int? seed=None) -> Tensor
        uniform_(Tensor self, float from=0.0, float to=1.0, *, int? seed=None) -> Tensor
        bernoulli_(Tensor self, float p=0.5, *, int? seed=None) -> Tensor
        """;
}
